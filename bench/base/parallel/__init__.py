"""Independent units of work, side by side: threads of this process, processes, or machines of a cluster."""
