-- Before a limit is measured, after the migrations: ids that ascend, as those of real tasks do. All tasks are in lane 1.
CREATE SEQUENCE ids CACHE 1000;
