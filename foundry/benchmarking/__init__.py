"""Speed, latency and memory: a process for each measurement, interleaved rounds, and the machine's profile."""
