"""Tags: labels on contacts."""
