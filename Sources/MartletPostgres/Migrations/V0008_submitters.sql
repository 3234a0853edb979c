-- Who submitted a task, where that is known: a credential, or the scheduler. NULL is the API without authentication.
ALTER TABLE task_bodies ADD COLUMN submitted_by text;
