"""Contacts: the list (`listing`), the pages (`pages`), changes of one contact (`use_cases`) and of many
(`selection`, `bulk`)."""
