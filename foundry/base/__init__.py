"""Errors, files that are whole or not there, progress, settings files, and the command line of a stage."""
