"""Models, the sites where they are read and scaled, and forward passes."""
