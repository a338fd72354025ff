-- Orders of customers: filled from a recurrence, indexed, joined, changed, and packed.
pragma journal_mode = wal;
pragma cache_size = -8000;
create table customer(id integer primary key, name text not null, city text not null);
create table purchase(id integer primary key, customer integer not null references customer, item text, amount integer, note text);

begin;
with recursive n(i, r) as (
    select 1, 12345 union all select i + 1, (r * 1103515245 + 12345) & 2147483647 from n where i < 20000
)
insert into customer select i, printf('name-%05d-%x', r % 90000, r), 'city' || (r >> 8) % 60 from n;
with recursive n(i, r) as (
    select 1, 54321 union all select i + 1, (r * 1103515245 + 12345) & 2147483647 from n where i < 250000
)
insert into purchase select i, 1 + (r >> 8) % 20000, printf('item%03d', (r >> 4) % 700), (r >> 6) % 5000,
    substr(hex(zeroblob(1 + (r >> 9) % 40)), 1, 1 + (r >> 9) % 60) from n;
commit;

create index by_customer on purchase(customer);
create index by_item on purchase(item, amount desc);
create index by_city on customer(city, name);
analyze;

select c.city, count(*), sum(p.amount), round(avg(p.amount), 4), max(c.name)
    from customer c join purchase p on p.customer = c.id group by c.city order by sum(p.amount) desc, c.city;
select item, group_concat(amount, ',') from (select item, amount from purchase where item like 'item00%' order by item, amount, id)
    group by item order by item;
select id, item, amount, rank() over (partition by item order by amount desc, id) as place,
    sum(amount) over (partition by item order by id rows between 5 preceding and current row) as running
    from purchase where customer between 100 and 160 order by id;
with spent as (select customer, sum(amount) as total from purchase group by customer)
select a.name, b.name, s.total from spent s join customer a on a.id = s.customer join customer b on b.city = a.city and b.id = a.id + 60
    order by s.total desc, a.id limit 50;
select json_group_object(city, n) from (select city, count(*) as n from customer group by city order by city);

create virtual table notes using fts5(body);
insert into notes select printf('%s bought %s for %d', c.name, p.item, p.amount)
    from purchase p join customer c on c.id = p.customer where p.id % 8 = 0 order by p.id;
select count(*), min(rowid), max(rowid) from notes where notes match 'item007 or "bought item01"*';

begin;
update purchase set amount = amount * 3 % 4999, note = note || '-changed' where id % 4 = 0;
delete from purchase where id % 5 = 0;
savepoint part;
delete from customer where id % 2 = 0;
rollback to part;
commit;
vacuum;
pragma integrity_check;
select count(*), sum(amount), sum(length(note)) from purchase;
.mode csv
select * from customer where id % 97 = 0 order by name;
.mode json
select * from purchase order by amount desc, id limit 300;
.output out/dump.sql
.dump customer
.output stdout
