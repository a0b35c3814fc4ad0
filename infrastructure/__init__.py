"""Packages the engine, checks the package and deploys it, by one path to AWS and to an emulator."""
