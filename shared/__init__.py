"""What the functions share. It never imports a function."""
