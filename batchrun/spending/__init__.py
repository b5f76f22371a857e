"""What was spent: by day, month, job, model, profile, tag or account, with what stands in the way of limits."""
