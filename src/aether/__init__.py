"""aether: slices over nodes. The public names are exported here and nowhere else."""
