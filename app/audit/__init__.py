"""The audit log: who changed what. This package only shows it; `Work.audit` writes the entries."""
