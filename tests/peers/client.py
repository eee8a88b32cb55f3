"""The Python SDK's client against server-everything behind Ringside: lists, calls, reads, prompts, completes, and
answers what it is asked."""

import asyncio
import sys

from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client


async def sample(_context, params):
    text = params.messages[-1].content.text
    content = types.TextContent(type="text", text=f"asked: {text}")
    return types.CreateMessageResult(role="assistant", model="none", content=content)


async def elicit(_context, _params):
    return types.ElicitResult(action="decline")


async def main(url):
    steps = []

    async def on_progress(progress, total, _message):
        steps.append((progress, total))

    async with streamablehttp_client(url) as (read, write, session_id):
        async with ClientSession(read, write, sampling_callback=sample, elicitation_callback=elicit) as session:
            hello = await session.initialize()
            assert hello.protocolVersion == "2025-11-25", hello
            assert session_id(), "a session has an id"
            assert "echo" in {tool.name for tool in (await session.list_tools()).tools}
            echo = await session.call_tool("echo", {"message": "from Python"})
            assert echo.content[0].text == "Echo: from Python", echo
            resources = (await session.list_resources()).resources
            contents = (await session.read_resource(resources[0].uri)).contents
            assert contents[0].text, contents
            prompt = await session.get_prompt("args-prompt", {"city": "Bern"})
            assert "Bern" in prompt.messages[0].content.text, prompt
            ref = types.PromptReference(type="ref/prompt", name="completable-prompt")
            completed = await session.complete(ref, {"name": "department", "value": "E"})
            assert completed.completion.values, completed
            slow = {"duration": 0.4, "steps": 4}
            await session.call_tool("trigger-long-running-operation", slow, progress_callback=on_progress)
            assert steps and steps[-1] == (4, 4), steps
            sampled = await session.call_tool("trigger-sampling-request", {"prompt": "hello", "maxTokens": 10})
            assert "asked: " in sampled.content[0].text, sampled
            elicited = await session.call_tool("trigger-elicitation-request", {})
            assert "declined" in elicited.content[0].text, elicited
    print("all is well")


asyncio.run(main(sys.argv[1]))
