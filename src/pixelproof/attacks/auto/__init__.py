"""The attacks of the standard ensemble, and the ensemble."""
