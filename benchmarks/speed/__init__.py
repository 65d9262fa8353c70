"""Measure what KANs cost in whole models: a step of training and one of inference, against the MLP's."""
