"""The page that tells why: any decision, order, trade or position, from what is stored and nothing else."""
