"""`make bench`: the publisher beside what a team would otherwise write, in one run and as ratios."""
