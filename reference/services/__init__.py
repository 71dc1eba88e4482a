"""The services of the platform, each in a package of its own."""
