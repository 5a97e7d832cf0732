"""The real service under fire: killed, starved, flooded and fed. Run by `make fire`, not by `make test`."""
