"""Many runs by one command: grids and searches that can be stopped, shared and gone on with."""
