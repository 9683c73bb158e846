"""Set-up, local servers and checks. The files without an ending are the commands; the work is in `scripts.local`."""
