"""Tests mirror the rooms: unit, ui and e2e; helpers shared by several of them lie here."""
