"""Work on many processes and machines, through ``concurrent.futures.Executor`` alone."""
