"""What a checkpoint's folder says of its model; what a variant's folder holds, and the names of its files."""
