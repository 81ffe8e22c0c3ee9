-- What is asked and not answered or requested yet is shown with its age.
CREATE INDEX commands_unanswered ON commands (asked_at) WHERE answered_at IS NULL;
