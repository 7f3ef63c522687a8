"""Videos through the official Python client. See README.md."""

import base64
import os
import warnings
from pathlib import Path

import openai
from openai import OpenAI
from openai.types import Video

warnings.simplefilter("ignore", DeprecationWarning)

URL, KEY = os.environ["MODELROW_URL"], os.environ["MODELROW_KEY"]
PICTURE = Path(os.environ["MODELROW_PICTURE"])
client = OpenAI(base_url=URL, api_key=KEY, organization="org-1", project="proj-1", timeout=60)


def refused(kind, call, **want):
    """The call is refused with this very error of the client, which is not sent again."""
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, (type(error), error)
        for name, value in want.items():
            assert getattr(error, name) == value, (name, getattr(error, name), error)
        assert error.request_id, error
        assert error.message, error
        assert error.response.request.headers["x-stainless-retry-count"] == "0", error
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def is_mp4(content):
    return content.read()[4:8] == b"ftyp"


def a_video_is_created_polled_downloaded_and_deleted():
    video = client.videos.create_and_poll(model="film-1", prompt="a cat", seconds="8", size="1280x720")
    assert (video.status, video.progress, video.object) == ("completed", 100, "video"), video
    assert (video.model, video.seconds, video.size, video.prompt) == ("film-1", "8", "1280x720", "a cat"), video
    assert video.completed_at >= video.created_at and video.error is None, video
    assert is_mp4(client.videos.download_content(video.id))
    assert is_mp4(client.videos.download_content(video.id, variant="video"))
    still = client.videos.download_content(video.id, variant="thumbnail").read()
    assert still[:4] == b"RIFF", still[:16]
    refused(openai.NotFoundError, lambda: client.videos.download_content(video.id, variant="spritesheet"), code="variant_not_found")
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted"), gone
    refused(openai.NotFoundError, lambda: client.videos.retrieve(video.id), code="video_not_found")


def a_picture_may_be_a_file_or_an_address_and_the_body_json():
    address = "data:image/png;base64," + base64.b64encode(PICTURE.read_bytes()).decode()
    of_file = client.videos.create(model="film-1", prompt="a file", input_reference=PICTURE)
    # The client itself takes files only.
    as_field = {"input_reference": {"image_url": address}}
    of_address = client.videos.create(model="film-1", prompt="an address", extra_body=as_field)
    body = {"model": "film-1", "prompt": "as JSON", "seconds": "4", "input_reference": {"image_url": address}}
    of_json = client.post("/videos", body=body, cast_to=Video)
    for video in (of_file, of_address, of_json):
        assert client.videos.poll(video.id, poll_interval_ms=100).status == "completed", video


def a_remix_is_made_from_a_video():
    video = client.videos.create_and_poll(model="film-1", prompt="a dog", poll_interval_ms=100)
    remix = client.videos.remix(video.id, prompt="a dog with a hat")
    assert remix.remixed_from_video_id == video.id, remix
    assert client.videos.poll(remix.id, poll_interval_ms=100).status == "completed"
    plain = client.videos.create_and_poll(model="reel-1", prompt="a cow", poll_interval_ms=100)
    refused(openai.BadRequestError, lambda: client.videos.remix(plain.id, prompt="x"), code="remix_not_supported")


def videos_are_listed_page_by_page():
    newest = [video.id for video in client.videos.list(limit=2)]
    oldest = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert len(newest) == len(set(newest)) > 4 and newest == oldest[::-1], (newest, oldest)
    page = client.videos.list(limit=2)
    assert (len(page.data), page.has_more, page.last_id) == (2, True, newest[1]), page
    rest = client.videos.list(after=newest[-2], limit=5)
    assert ([video.id for video in rest.data], rest.has_more) == (newest[-1:], False), rest


def a_job_that_goes_on_has_no_content_and_stays():
    video = client.videos.create(model="film-1", prompt="slowly")
    raw = client.videos.with_raw_response.retrieve(video.id)
    assert int(raw.headers["openai-poll-after-ms"]) > 0
    assert raw.parse().status in ("queued", "in_progress")
    refused(openai.BadRequestError, lambda: client.videos.download_content(video.id), code="video_not_ready")
    refused(openai.ConflictError, lambda: client.videos.delete(video.id))


def errors_are_the_clients_typed_errors():
    create = client.videos.create
    stranger = OpenAI(base_url=URL, api_key="mrk_wrong")
    limited = OpenAI(base_url=URL, api_key=os.environ["MODELROW_LIMITED_KEY"])
    refused(openai.AuthenticationError, lambda: stranger.models.list(), code="invalid_api_key", type="invalid_request_error")
    refused(openai.RateLimitError, lambda: limited.videos.create(prompt="x"), code="insufficient_quota")
    refused(openai.BadRequestError, lambda: create(prompt="x", extra_body={"secnds": "8"}), param="secnds", code="unknown_parameter", type="invalid_request_error")
    refused(openai.BadRequestError, lambda: create(model="film-1", prompt="x", seconds="5"), param="seconds", code="invalid_value")
    refused(openai.BadRequestError, lambda: create(model="film-1", prompt=""), param="prompt", code="missing_required_parameter")
    refused(openai.NotFoundError, lambda: create(model="none", prompt="x"), param="model", code="model_not_found")
    refused(openai.NotFoundError, lambda: client.models.retrieve("none"), code="model_not_found")
    refused(openai.NotFoundError, lambda: client.post("/nowhere", cast_to=Video), code="unknown_url")
    key = {"Idempotency-Key": "one key"}
    video = create(prompt="x", extra_headers=key)
    assert create(prompt="x", extra_headers=key).id == video.id
    refused(openai.ConflictError, lambda: create(prompt="y", extra_headers=key))
    failed = client.videos.create_and_poll(prompt="spongebob", poll_interval_ms=100)
    assert (failed.status, failed.error.code) == ("failed", "moderated"), failed


def the_models_are_listed():
    assert {"film-1", "reel-1"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("film-1").owned_by == "film"


def an_answer_that_is_lost_makes_no_second_run():
    raw = client.videos.with_raw_response.create(model="film-1", prompt="CUT python")
    assert raw.retries_taken == 1, raw.retries_taken
    with_file = client.videos.with_raw_response.create(model="film-1", prompt="CUT python, with a file", input_reference=PICTURE)
    assert with_file.retries_taken == 1, with_file.retries_taken
    for answer in (raw, with_file):
        assert client.videos.poll(answer.parse().id, poll_interval_ms=100).status == "completed"
    # What the program itself sends twice are two videos.
    twice = [client.videos.create(model="film-1", prompt="twice, python").id for _ in range(2)]
    assert twice[0] != twice[1], twice


if __name__ == "__main__":
    for test in [
        a_video_is_created_polled_downloaded_and_deleted,
        a_picture_may_be_a_file_or_an_address_and_the_body_json,
        a_remix_is_made_from_a_video,
        videos_are_listed_page_by_page,
        a_job_that_goes_on_has_no_content_and_stays,
        errors_are_the_clients_typed_errors,
        the_models_are_listed,
        an_answer_that_is_lost_makes_no_second_run,
    ]:
        test()
        print("ok", test.__name__, flush=True)
