"""What a run leaves for people and scripts: CSV, JSON, charts."""
