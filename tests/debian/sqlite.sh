# A database in a file: transactions, locks between processes, write-ahead log with its shared memory.
sqlite3 base.db 'create table t (id integer primary key, word text, n real); create index i on t (word);'
sqlite3 base.db "with recursive c(x) as (select 1 union all select x + 1 from c where x < 2000) insert into t select x, 'word' || (x % 17), x / 7.0 from c; select count(*), round(sum(n), 3) from t;"
sqlite3 -header -csv base.db 'select word, count(*) as c, round(avg(n), 2) as mean from t group by word order by c desc, word limit 4'; sqlite3 base.db 'pragma integrity_check; explain query plan select * from t where word = "word3"'
sqlite3 base.db 'pragma journal_mode = wal; begin; delete from t where id % 2; rollback; update t set n = 0 where id < 10; select count(*), total(n) > 0 from t; pragma wal_checkpoint;'
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' base.db "begin immediate; insert into t (word) values ('process $i'); commit;" & done; wait; sqlite3 base.db "select word from t where word like 'process%' order by word"
sqlite3 base.db .dump | sqlite3 copy.db; sqlite3 copy.db 'select count(*) from t; vacuum; pragma mmap_size = 1000000; select count(distinct word) from t;' ; sqlite3 base.db "pragma journal_mode = delete; attach 'copy.db' as c; select count(*) from c.t join t using (id);"; ls
