"""Runs on images: how models meet them, which models there are, and what is measured."""
