-- The OpenAI-compatible face of the API.

-- What it calls the options and inputs of a profile: `{"seconds": "duration"}`.
alter table model_api_profiles add column openai jsonb not null default '{}';
