"""What keeps batchrun from working here, and the fix for it: the machine, the home, the settings, and the service behind a profile."""
