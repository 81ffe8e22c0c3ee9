/* Replays and reroutes, by people who do not wait for one another: some are refused by the
 * configuration of the moment, some are only tried, some are given twice. Each has one outcome. */
#include "sim_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define AGAIN_MS 100000 /* until a command that was lost is given again */

/* Targets that only one of the two configurations has; each has a rule of that name, too. */
static const char *const only[] = {"old", "new"};

static void command_id(char *id, size_t n, int number)
{
    snprintf(id, n, "c%d", number);
}

static struct told *told_of(struct sim *s, const char *command)
{
    long n = command && command[0] == 'c' ? strtol(command + 1, NULL, 10) : -1;
    return n >= SIM_FIRST_COMMAND && n < SIM_COMMANDS ? &s->told[n] : NULL;
}

void commands_configure(struct sim_config *c, int i)
{
    static const char *const old[] = {"old"}, *const new[] = {"new"};
    sim_config_rule(c, &(struct config_rule){.name = only[i],
                                             .rule = "False",
                                             .targets = {(const char **)(i ? new : old), 1}});
}

/* ---- given ---- */

static void give(struct sim *s, int number)
{
    char id[16];
    command_id(id, sizeof id, number);
    struct told *t = &s->told[number];
    const char *target[] = {t->target};
    struct event ev = {.type = t->what == COMMAND_REPLAYS || t->what == COMMAND_TRIES_RULES
                                   ? EVENT_COMMAND_REPLAY
                                   : EVENT_COMMAND_REROUTE,
                       .command = {.command = id,
                                   .study = script_study(t->series),
                                   .dry_run = t->what >= COMMAND_TRIES_RULES}};
    if (ev.type == EVENT_COMMAND_REROUTE)
        ev.command.targets = (struct row_strings){target, 1};
    t->asked = true;
    t->given_at = s->world.now;
    const struct sim_record *r = world_produce(&s->world, SIM_INSTANCE, &ev, -1);
    sim_trace(s, "instance %lld: command %s: %s %s %s%s", (long long)r->offset, id,
              ev.type == EVENT_COMMAND_REPLAY ? "replay" : "reroute", script_study(t->series),
              t->target, ev.command.dry_run ? ", dry run" : "");
}

void commands_give(struct sim *s, const struct script_item *item)
{
    struct told *t = &s->told[item->n];
    t->series = item->series;
    t->what = item->outcome;
    t->target = item->receipt < 2 ? only[item->receipt] : "pacs";
    give(s, (int)item->n);
}

/* Somebody asks again, whether the command was lost or not: on an offset that was used. */
static void give_again(struct sim *s)
{
    int n = (int)random_below(&s->random, SIM_COMMANDS);
    if (!s->told[n].asked || s->told[n].again)
        return;
    s->told[n].again = true;
    give(s, n);
}

/* What was lost with the end of the log has to be given again. */
void commands_step(struct sim *s)
{
    if (!s->cut || !s->script.replays || sim_outage(s))
        return;
    if (random_percent(&s->random, 1))
        give_again(s);
    if (!s->calm || power_busy(s) || s->produced < s->script.items.n)
        return;
    for (int i = 0; i < SIM_COMMANDS; i++)
        if (s->told[i].asked && !s->told[i].outcome && !s->told[i].poisoned &&
            s->world.now - s->told[i].given_at > AGAIN_MS)
            give(s, i);
}

static struct told *told_by(struct sim *s, const struct sim_record *r)
{
    struct event ev;
    struct err e;
    if (r->type != EVENT_COMMAND_REPLAY && r->type != EVENT_COMMAND_REROUTE)
        return NULL;
    arena_reset(s->arena);
    return event_decode(&ev, r->value.data, r->value.len, s->arena, &e)
               ? NULL
               : told_of(s, ev.command.command);
}

bool commands_poison(struct sim *s, const struct sim_record *r)
{
    struct told *t = s->script.poison_command ? told_by(s, r) : NULL;
    return t && t - s->told == s->script.poison_command;
}

void commands_poisoned(struct sim *s, const struct sim_record *r)
{
    struct told *t = told_by(s, r);
    if (t)
        t->poisoned = true;
}

/* ---- decided: valid choices only ---- */

/* A decision by command. */
void commands_acted(struct sim *s, const char *command)
{
    struct told *t = told_of(s, command);
    if (!t) {
        sim_broken(s, "a decision by a command that nobody gave");
        return;
    }
    if (t->what >= COMMAND_TRIES_RULES)
        sim_broken(s, "%s is a dry run, but decides", command);
    if (t->outcome)
        sim_broken(s, "%s decides after it was %s: %s", command, t->outcome, t->text);
    t->decisions++;
}

static void count(struct sim *s, const struct told *t)
{
    bool dry = t->what >= COMMAND_TRIES_RULES;
    s->result->refused += strcmp(t->outcome, "refused") == 0;
    s->result->tried += dry && strcmp(t->outcome, "done") == 0;
    s->result->halves += strcmp(t->outcome, "failed") == 0;
}

void commands_decided(struct sim *s, const struct event_note *note)
{
    struct told *t = told_of(s, note->command);
    if (!t) {
        sim_broken(s, "the outcome of a command that nobody gave");
        return;
    }
    sim_trace(s, "%s: %s: %s", note->command, note->outcome, note->text);
    if (t->outcome) {
        sim_broken(s, "%s has two outcomes: %s and %s", note->command, t->text, note->text);
        return;
    }
    t->outcome = mem_strdup(note->outcome);
    t->text = mem_strdup(note->text ? note->text : "");
    if (t->decisions && strcmp(t->outcome, "refused") == 0)
        sim_broken(s, "%s was refused, but has decided: %s", note->command, t->text);
    if (!t->decisions && strcmp(t->outcome, "done") == 0 && t->what < COMMAND_TRIES_RULES)
        sim_broken(s, "%s is done, but nothing was decided: %s", note->command, t->text);
    count(s, t);
}

/* ---- answered ---- */

static void check_answer(struct sim *s, const struct event_note *note)
{
    struct told *t = told_of(s, note->command);
    if (!t)
        return; /* command.complete */
    t->answered = true;
    if (!t->outcome)
        sim_broken(s, "%s was answered, but has no outcome", note->command);
    else if (strcmp(t->outcome, note->outcome) != 0 || strcmp(t->text, note->text) != 0)
        sim_broken(s, "%s was %s (%s), the answer is %s (%s)", note->command, t->outcome, t->text,
                   note->outcome, note->text);
}

static void read_answers(struct sim *s)
{
    const struct sim_log *log = &s->world.logs[SIM_EVENT];
    for (; s->answers_at < log->records.n; s->answers_at++) {
        const struct sim_record *r = &log->records.items[s->answers_at];
        struct event ev;
        struct err e;
        arena_reset(s->arena);
        if (r->type != EVENT_COMMAND_ANSWERED)
            continue;
        if (event_decode(&ev, r->value.data, r->value.len, s->arena, &e))
            sim_broken(s, "an answer that cannot be read: %s", e.text);
        else
            check_answer(s, &ev.note);
    }
}

/* What lies in dlq is not answered. */
bool commands_answered(struct sim *s)
{
    read_answers(s);
    for (int i = 0; i < SIM_COMMANDS; i++)
        if (s->told[i].asked && !s->told[i].answered && !s->told[i].poisoned)
            return false;
    return true;
}

void commands_free(struct sim *s)
{
    for (int i = 0; i < SIM_COMMANDS; i++) {
        mem_free(s->told[i].outcome);
        mem_free(s->told[i].text);
    }
}
