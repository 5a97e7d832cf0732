"""Fundus photographs: quality, field and side, vessels, lesion candidates, grade, in that order. Research software."""
