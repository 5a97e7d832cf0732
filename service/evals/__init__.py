"""The nightly evaluation: runs every vertical's suites, compares with the last run, writes one report."""
