"""Contacts: the list (`listing`), the pages (`pages`, `timeline`), changes of one contact (`use_cases`,
`conflicts`) and of many (`selection`, `bulk`)."""
