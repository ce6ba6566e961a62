"""Speed, memory and cost against peers and against the published way, all on one machine in one run."""
