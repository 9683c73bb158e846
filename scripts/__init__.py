"""Set-up, local servers, checks: commands are the files without an ending, the work is in `scripts.local`."""
