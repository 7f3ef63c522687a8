-- Whether any credential is paused is asked with the key of each call. A pause comes and goes seldom, so that its index costs the
-- counts beside it nothing: they stay HOT.
create index credential_limits_paused on credential_limits (paused_until) where paused_until is not null;
