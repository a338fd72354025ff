PRAGMA temp_store = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, price REAL, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
  INSERT INTO item SELECT i, 'name ' || (i * 7919 % 100003), i % 97, i * 1.5, hex(i * 2654435761) FROM n;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_kind ON item(kind, price);
SELECT count(*), sum(price), max(note) FROM item;
SELECT kind, count(*), group_concat(substr(name, 6, 2)) FROM item WHERE id % 50 = 0 GROUP BY kind ORDER BY kind LIMIT 20;
SELECT a.id, b.id FROM item a JOIN item b ON a.name = b.name AND a.id < b.id ORDER BY a.id LIMIT 20;
UPDATE item SET note = note || name WHERE kind < 40;
DELETE FROM item WHERE kind > 80;
SELECT count(*), total(length(note)) FROM item;
SELECT json_group_array(json_object('id', id, 'name', name)) FROM item WHERE id % 500 = 0;
