"""What is measured: containers of the engine, baselines and clients, each in a process of its own."""
