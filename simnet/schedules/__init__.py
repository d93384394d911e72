"""Published ways to spread a diffusion model over ranks, one a file."""
