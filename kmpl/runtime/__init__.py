"""The machine: devices, threads, files, locks, processes, servers."""
