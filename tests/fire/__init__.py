"""The real service under fire: programs that kill, starve, flood and feed it, run by `make fire`, not by `make test`."""
