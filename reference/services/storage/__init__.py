"""The storage service: files, each written once and whole.

On the disk, below `<data_dir>/storage`: `files/ID`, one for each file, with what is
known of it as a footer; and `tmp/`, what is being uploaded. A file appears in
`files` by one link(2), which refuses to replace another.

The order of an upload, by which a process that is killed at any moment leaves
either nothing or a file that is recorded:

1. The owner is checked with identity, before the first chunk is read.
2. The chunks go to a temporary file, whose lock ends with its process.
3. The temporary file, footer included, is made durable (fsync).
4. The ledger's entry is appended, which is durable when it is answered.
5. The file is linked into `files`, and the directory made durable (fsync).
6. The upload is acknowledged.

Killed before 5, there is no file, and the next start removes the temporary one;
between 4 and 5 an entry stays behind, of an upload that nobody was told has
succeeded. The other order could leave a file without an entry, which nothing
would ever show. 4 and 5 happen for one upload of an ID at a time, so that one of
a file that is there already is not recorded.
"""
