"""Chats, responses, pictures, speech, transcriptions and embeddings through the official Python client. See README.md."""

import base64
import io
import os

import openai
from openai import OpenAI

URL, KEY = os.environ["MODELROW_URL"], os.environ["MODELROW_KEY"]
client = OpenAI(base_url=URL, api_key=KEY, organization="org-1", project="proj-1", timeout=60)
HI = [{"role": "user", "content": "Hi"}]


def refused(kind, call, **want):
    """The call is refused with this very error of the client, which is not sent again."""
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, (type(error), error)
        for name, value in want.items():
            assert getattr(error, name) == value, (name, getattr(error, name), error)
        assert error.request_id and error.message, error
        assert error.response.request.headers["x-stainless-retry-count"] == "0", error
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def a_conversation_is_answered():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    seen = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    for messages in (HI, seen):
        answer = client.chat.completions.create(model="talk-1", messages=messages, temperature=0.5, stop="END", max_completion_tokens=9)
        assert answer.choices[0].message.content == "Hello.", answer
        assert (answer.choices[0].finish_reason, answer.usage.total_tokens, answer.model) == ("stop", 5, "talk-1"), answer
        # As a client keeps it.
        more = [*messages, answer.choices[0].message.model_dump(), {"role": "user", "content": "Why?"}]
        assert client.chat.completions.create(model="talk-1", messages=more).choices[0].message.content == "Hello."


def a_conversation_is_answered_as_a_stream():
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="talk-1", messages=HI, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "The cat plays the piano.", text
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    assert chunks[-2].choices[0].finish_reason == "length" and chunks[-1].usage.total_tokens == 5, chunks[-2:]
    assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) > 1, "as they come"
    with client.chat.completions.stream(model="answer-1", messages=HI) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == "Hello."


def a_response_is_made_at_once_and_as_a_stream():
    response = client.responses.create(model="talk-1", input="Hi", instructions="Be brief.", max_output_tokens=9)
    assert (response.output_text, response.status, response.usage.total_tokens) == ("Hello.", "completed", 5), response
    more = [{"role": "user", "content": "Hi"}, *[item.model_dump() for item in response.output], {"role": "user", "content": "Why?"}]
    assert client.responses.create(model="talk-1", input=more).output_text == "Hello."
    events = list(client.responses.create(model="talk-1", input="Hi", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "The cat plays the piano."
    assert (events[0].type, events[-1].type) == ("response.created", "response.incomplete"), events
    with client.responses.stream(model="answer-1", input="Hi") as stream:
        final = stream.until_done().get_final_response()
    assert final.output_text == "Hello.", final


def a_fault_in_mid_stream_is_raised():
    for stream in (
        lambda: client.chat.completions.create(model="talk-2", messages=HI, stream=True),
        lambda: client.responses.create(model="talk-2", input="Hi", stream=True),
    ):
        heard = []
        try:
            for event in stream():
                heard.append(event)
        except openai.APIError as error:
            assert error.code == "unknown_outcome", (error, error.body)
        else:
            raise AssertionError("an error was expected")
        assert heard, "the words before the fault were told"


def pictures_speech_and_vectors_are_made():
    images = client.images.generate(model="paint-1", prompt="a cat", n=2, size="512x512")
    assert [base64.b64decode(image.b64_json)[:4] for image in images.data] == [b"\x89PNG"] * 2, images
    linked = client.images.generate(model="paint-1", prompt="a cat", response_format="url")
    assert linked.data[0].url.startswith(URL.removesuffix("/openai/v1") + "/files/"), linked
    speech = client.audio.speech.create(model="say-1", input="Hello", voice="ann", response_format="mp3")
    assert speech.read() == b"ID3 and more" and speech.response.headers["content-type"] == "audio/mpeg"
    with client.audio.speech.with_streaming_response.create(model="say-1", input="Hello", voice="ann") as response:
        assert b"".join(response.iter_bytes()) == b"ID3 and more"
    vectors = client.embeddings.create(model="embed-1", input=["a", "b"], dimensions=2)
    assert [vector.embedding for vector in vectors.data] == [[0.5, -2.0], [1.0, 0.25]], vectors
    assert vectors.usage.prompt_tokens == 4 and vectors.data[1].index == 1, vectors
    plain = client.embeddings.create(model="embed-1", input="a", encoding_format="float")
    assert plain.data[0].embedding == [0.5, -2.0], plain


def audio_is_transcribed():
    def audio():
        file = io.BytesIO(b"RIFF....WAVEfmt ")
        file.name = "a.wav"
        return file

    create = client.audio.transcriptions.create
    assert create(model="listen-1", file=audio(), language="en", temperature=0.2).text == "Hello."
    verbose = create(model="listen-1", file=audio(), response_format="verbose_json", timestamp_granularities=["segment"])
    assert (verbose.duration, verbose.language, verbose.segments[0].text) == (1.5, "en", "Hello."), verbose
    assert create(model="listen-1", file=audio(), response_format="text") == "Hello.\n"
    assert create(model="listen-1", file=audio(), response_format="vtt").startswith("WEBVTT")


def errors_are_the_clients_typed_errors():
    chat = client.chat.completions.create
    limited = OpenAI(base_url=URL, api_key=os.environ["MODELROW_LIMITED_KEY"])
    refused(openai.BadRequestError, lambda: chat(model="talk-1", messages=HI, n=2), param="n", code="unknown_parameter", type="invalid_request_error")
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    refused(openai.BadRequestError, lambda: chat(model="talk-1", messages=HI, tools=[tool]), param="tools", code="unknown_parameter")
    refused(openai.BadRequestError, lambda: chat(model="talk-1", messages=HI, temperature=9), param="temperature", code="invalid_value")
    refused(openai.NotFoundError, lambda: chat(model="none", messages=HI), param="model", code="model_not_found")
    refused(openai.RateLimitError, lambda: limited.embeddings.create(model="embed-1", input="a"), code="insufficient_quota")
    refused(openai.BadRequestError, lambda: client.images.generate(model="paint-1", prompt="a", n=9), param="n", code="invalid_value")
    refused(openai.BadRequestError, lambda: client.embeddings.create(model="embed-1", input=[1, 2]), param="input.0")
    prose = [{"role": "user", "content": "refuse this"}]
    refused(openai.BadRequestError, lambda: chat(model="refuse-1", messages=prose), code="invalid_request")
    refused(openai.BadRequestError, lambda: chat(model="refuse-1", messages=prose, stream=True), code="invalid_request")


def an_answer_that_is_lost_makes_no_second_run():
    said = [{"role": "user", "content": "CUT python"}]
    raw = client.chat.completions.with_raw_response.create(model="talk-1", messages=said)
    assert raw.retries_taken == 1 and raw.parse().choices[0].message.content == "Hello.", raw.retries_taken
    raw = client.responses.with_raw_response.create(model="talk-1", input="CUT python, a response")
    assert raw.retries_taken == 1 and raw.parse().output_text == "Hello."
    raw = client.embeddings.with_raw_response.create(model="embed-1", input="CUT python, a vector")
    assert raw.retries_taken == 1


def a_stream_may_be_left():
    stream = client.chat.completions.create(model="talk-3", messages=[{"role": "user", "content": "left, python"}], stream=True)
    next(stream)
    stream.close()


if __name__ == "__main__":
    for test in [
        a_conversation_is_answered,
        a_conversation_is_answered_as_a_stream,
        a_response_is_made_at_once_and_as_a_stream,
        a_fault_in_mid_stream_is_raised,
        pictures_speech_and_vectors_are_made,
        audio_is_transcribed,
        errors_are_the_clients_typed_errors,
        an_answer_that_is_lost_makes_no_second_run,
        a_stream_may_be_left,
    ]:
        test()
        print("ok", test.__name__, flush=True)
