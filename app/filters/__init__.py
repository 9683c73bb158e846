"""The filter language: conditions on contacts.

`ast` defines filters as data and `fields` the fields they can test. `parse` reads them from URLs and forms,
validates and describes them. `values` reads their operands, `stored` the filters of segments;
`evaluate` compiles them to Python and `db.filters` to SQL."""
