"""Tests of the pretexts."""
