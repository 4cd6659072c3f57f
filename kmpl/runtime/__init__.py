"""The machine: devices, threads, files, processes, servers."""
