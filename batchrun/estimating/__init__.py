"""What a job will cost and how long it may take, before anything of it is sent."""
