"""What watches a running scheduler: audit, observer, races, liveness, stall reports."""
