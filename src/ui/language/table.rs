//! The table of the studio's messages: of each its name, and the names of its places in the order in which code gives
//! them. What they say is in `messages/en.toml` and `messages/zh.toml`; how one is added is told in [`super`].

use super::messages;

messages! {
    // The first line.
    status_starting;
    status_connecting(host);
    status_then_draws;
    status_no_worker;
    status_no_line(host);
    status_next_try(lost, seconds);
    status_ready;
    status_waiting(count);
    status_more(count);
    status_engines(count);
    stage_loading(percent);
    stage_encoding;
    stage_drawing(step, steps);
    stage_decoding;
    stage_saving;
    picture_of(picture, count);
    left_seconds(seconds);
    left_minutes(minutes);
    left_hours(hours, minutes);

    // A window that is too small.
    small_needs(width, height);
    small_upright(width, height);
    small_this(width, height);

    // The picture, and what is said in its place.
    preview_title;
    preview_seconds(seconds);
    preview_step(step);
    preview_type;
    preview_no_worker;
    preview_appears;
    preview_no_setup;
    preview_models(key);
    tour_panes(next, help);
    tour_again(key);
    tour_palette(key, colon);
    tour_looks(themes, layout, alone);
    tour_quit(key);

    // The prompt, and what is said below it.
    prompt_title;
    prompt_of_job(job);
    prompt_rows(what, first, last, rows);
    prompt_hint;
    prompt_at_most;
    remark_cut(encoder, limit, text);
    remark_script(word, tokens);
    remark_long(tokens);
    remark_unknown(encoder, tokens);

    // The parameters: labels of lines, labels within a line, and fields of which something is wrong.
    parameters_title;
    label_model;
    label_size;
    label_steps;
    label_guidance;
    label_seed;
    label_count;
    label_loras;
    short_steps;
    short_guidance;
    shortest_guidance;
    short_seed;
    short_count;
    field_random;
    field_last(seed);
    field_model;
    field_width;
    field_height;
    field_steps;
    field_guidance;
    field_seed;
    field_count;
    field_wrong(field, message);
    wrong_missing;
    wrong_large(text);
    wrong_number(text);
    wrong_model(text, known);
    wrong_side(pixels, multiple, max);
    wrong_nearest(message, nearest);
    wrong_would_do(message, nearest);
    wrong_pixels(text);
    wrong_size(text);
    wrong_layout(text, known);
    wrong_language(text, known);
    wrong_theme(name, known);

    // Why a job cannot be. In English they are the words of `JobError`, which the command line says too.
    job_empty_prompt;
    job_long_prompt(bytes, max);
    job_size(side, value, multiple, max, nearest);
    job_steps(value, max);
    job_guidance(value, max);
    job_count(value, max);
    job_seed(value, max);
    job_only_tags;
    job_loras(count, max);

    // Memory and load.
    memory_title;
    memory_vram;
    memory_no_gpu;
    memory_none;
    memory_budget(budget);
    memory_worker;
    memory_others;
    memory_free;
    memory_load(host, worker);
    memory_loras(bytes);
    memory_alone;
    memory_machine(cores);
    memory_planned(plan);
    memory_measured(bytes);
    memory_both;
    measure_memory;
    measure_load;
    measure_temperature;
    measure_power;
    owner_transformer;
    owner_streamed;
    owner_encoders;
    owner_vae;
    owner_activations;
    owner_loras;
    owner_context;

    // The queue.
    queue_title(open);
    queue_paused;
    queue_nothing;
    queue_failed;

    // The history.
    history_title(total);
    history_hint;
    history_missing;

    // The log.
    log_title;
    log_nothing;
    log_connected(pid, version);
    log_paused;
    log_goes_on;
    log_worker_ends;
    log_done(job, count);
    log_cancelled(job, count);

    // Lists over the panes.
    filtered(title, filter);
    help_title;
    palette_title;
    palette_nothing;
    palette_do;
    themes_title;
    prompts_title;
    prompts_none;
    prompts_looking;
    prompts_no_match;
    prompts_pictures(count);
    recipe_steps(steps);
    recipe_guidance(guidance);
    recipe_seed(seed);
    seeds_title;
    seeds_looking;
    seeds_none;
    seeds_no_match;
    seeds_trashed;
    sizes_title(megapixels);
    sizes_about;
    sizes_unknown;
    sizes_too_large;
    sizes_seconds(seconds);
    sizes_no_costs(reason);
    grid_title;
    grid_across;
    grid_down;
    grid_values;
    grid_nothing;
    grid_count(count, columns, rows);
    grid_seconds(seconds);
    grid_unknown_time;
    grid_caption(grid);
    grid_left(count);
    grid_complete;
    grid_none_shown;
    grid_no_older;
    grid_not_shown(grid, reason);
    grid_not_done(reason);
    grid_cancelled(count);
    snippets_title;
    snippets_no_match;
    snippets_yours;

    // The picker of LoRAs.
    loras_title;
    loras_looking;
    loras_none;
    loras_no_match;
    loras_unusable;
    loras_lost(amount);
    loras_off(amount);
    loras_words(words);
    loras_picture(picture);
    loras_left_out(count);
    lora_all_words(name);
    lora_no_words(name);
    lora_unusable(name, reason);
    lora_unused(count, of, name);
    lora_unused_like(count, of, name, example);
    loras_stay(error);
    loras_not_listed(reason);

    // The picker of models.
    models_title;
    models_looking;
    models_no_match;
    models_waits_check;
    models_damaged;
    models_waits_fetch;
    models_ready;
    models_failed;
    models_file_missing;
    models_gated(bytes);
    models_asking;
    models_unknown_size;
    models_to_fetch(bytes);
    models_over_to_fetch(bytes);
    models_checking;
    models_checking_percent(percent);
    models_checked_first;
    models_checked(said);
    models_not_checked(reason);
    models_fetched_first;
    models_not_here(parts);
    models_done_of(done, total);
    models_checking_of(done, total);
    models_files(done, files);
    models_files_now(done, files, file);
    models_removal(model, bytes, files, enter);
    models_stays(files, reason);
    models_goes(files);
    models_question(model, bytes, enter);
    models_free(bytes, free);
    models_only_free(bytes, free);
    models_terms(page);
    models_no_token(terms, name);
    models_now_checking(model);
    models_now_fetching(model, percent);
    models_right(count);
    models_right_unknown(known, count);
    models_said(model, said);
    models_bad_file(model);
    models_bad_files(model, count);
    models_was_not_checked(model, reason);
    models_removed(model, bytes);
    models_was_not_fetched(model, reason);
    models_arrived(model);
    models_not_listed(reason);
    models_no_fetcher(model);
    models_no_worker;
    models_is_not_fetched(model, reason);
    models_is_not_checked(model, reason);
    models_not_cancelled(model, reason);

    // A page of the picker of models.
    page_what(model);
    page_where(model);
    page_where_on(model, host);
    page_reading;
    page_draws;
    page_yes;
    page_no(reason);
    page_memory;
    page_weights(memory);
    page_card_and_cpu(card, cpu);
    page_not_here;
    page_checked;
    page_file_found(file, found);
    page_right;
    page_no_hash;
    page_from(place);
    page_terms(gate);
    page_passed(passed);
    fact_file;
    fact_is;
    fact_parts;
    fact_precision;
    fact_size;
    fact_weights;

    // What the person is told.
    notice_more(text, count);
    job_begun(job);
    job_failed(job, reason);
    job_not_taken(reason);
    job_not_cancelled(job, reason);
    editor_failed(reason);
    editor_no_file(error);
    editor_not_started(name, error);
    editor_ended(name, status);
    editor_lost(name, error);
    editor_unreadable(error);
    editor_ending;
    theme_not_kept(file, error);
    language_not_kept(file, error);
    prompt_full(max);
    prompt_cut(max, bytes);
    no_last_seed;
    nothing_to_free;
    no_card;
    queue_elsewhere;
    library_elsewhere;
    queue_unchanged(reason);
    picture_unchanged(reason);
    worker_ends;
    worker_finishes(jobs);
    worker_stays(reason);
    not_freed(reason);
    not_counted(reason);
    no_older_pictures(reason);
    no_older_prompts(reason);
    no_seeds(reason);

    // To a person who looks elsewhere, and the window's title.
    told_drawn(count, prompt);
    told_failed(prompt, reason);
    title_host(program, host);
    title_paused(program);

    // The gallery, and two compared.
    gallery_title;
    gallery_search;
    gallery_tags;
    gallery_count(count);
    gallery_at_least(count);
    gallery_undo(key, count);
    gallery_looking;
    gallery_empty;
    gallery_nothing;
    gallery_no_worker;
    gallery_no_copy;
    gallery_missing;
    gallery_failed(reason);
    gallery_not_shown(reason);
    gallery_steps(steps);
    gallery_same_parameters;
    gallery_same_prompt;
    gallery_size;
    gallery_precision;
    gallery_none;
    gallery_no_parent;
    gallery_no_undo;
    gallery_trashed;
    gallery_untrashed;
    gallery_copied_prompt(count);
    gallery_copied_path(count);
    gallery_not_copied(bytes, max);
    gallery_no_picture(picture, reason);
    gallery_not_chosen(picture);
    gallery_marked;
    gallery_unmarked;
    gallery_none_before;
    gallery_more(count);
    gallery_no_more(reason);
}
